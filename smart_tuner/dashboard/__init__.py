"""What optuna-dashboard shows of a study beside Optuna's own columns: pictures, sounds and notes.

Nothing here starts the dashboard, nor imports it, which takes seconds; how it keeps its notes is in `notes`.
"""
