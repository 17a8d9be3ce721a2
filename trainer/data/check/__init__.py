"""Is a corpus fit to train a voice on? Each recording is measured, and what is found is put into words.

measures    one recording: level, silence, noise, clipping, offset, channels
limits      from which figure on something is a finding, and why: the table of all thresholds
reading     measures all recordings on all cores
findings    what the measures show of single clips, duplicates and wrong texts among them
groups      findings by kind, with those that concern the corpus as a whole
report      all of it as one object that becomes JSON
expansions, plots, worst    what is shown on request: changed texts, figures of all clips, the worst to hear
cleaned     a copy of the corpus without what can be mended
command     `python -m trainer corpus-check`
"""
