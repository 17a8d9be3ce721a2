"""Notifications of a study: by Telegram, or by any service that apprise supports. docs/notifications.md is for users.

What happens in a study becomes a message (`sink`). The message waits in an outbox for each channel, which sends it.
Nothing here can fail, slow or lose a trial. Without a configured channel nothing here does anything.
"""
