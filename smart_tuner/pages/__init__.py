"""Pages for people: the report of a study, and the audition of its best voices. Each one file, without network."""
