"""`smart-tuner doctor`: what is wrong with this machine, said before a run finds out. Changes nothing.

`examination` has all checks in their order; `software`, `versions`, `hardware`, `places` and `services` are those of
the tuner, `trainer_checks` asks a process of the trainer, `output` shows what was found. `incomplete` is for a machine
on which a package that the checks need cannot be imported, `refused` for one on which Smart Tuner's own modules cannot.
"""
