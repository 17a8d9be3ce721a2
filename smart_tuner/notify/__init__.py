"""Tells people of a study: by Telegram, or by any service that apprise knows. docs/notifications.md is for users.

A happening in a study becomes a message (herald), which waits in an outbox for each place, and is sent from there.
Nothing here can fail, slow or lose a trial; without a place in the environment nothing here does anything.
"""
