"""What optuna-dashboard shows of a study besides Optuna's own columns: pictures, sounds and notes.

Nothing here starts the dashboard, or imports it, which takes seconds. `notes` has the format of its notes.
"""
