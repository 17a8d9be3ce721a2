"""What a run does by itself where its training goes wrong.

`policy`, `not_finite` and `gradients` decide, and are pure functions of the history (`history`). `trainer.corrector`
applies what they propose. `trainer.suspects` lists the clips that may be at fault.
"""
