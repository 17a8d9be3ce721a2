"""What a run does by itself where its training goes wrong, and the list of clips that may be at fault.

`policy`, `not_finite` and `gradients` decide, and are pure functions of the history (`history`). `trainer.corrector`
applies what they propose. `clips` and `suspects` find the clips that stay apart from the others.
"""
