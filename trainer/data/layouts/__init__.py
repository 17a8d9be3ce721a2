"""The layouts in which people keep recordings and texts: found out, named, and read.

lists       which file of a folder is its list, and what is said of folders without one
rows        the rows of a list: lines, quotes, JSON; bounded in memory
columns     what a column holds, judged by its values; which one is the recording, the text, the speaker
places      where the recordings are, and what follows their names
pairs       recordings with a text file beside each
layout      what was found out, and the line that says it
detection   puts these together
reading     what a layout yields: entries, or faults
"""
