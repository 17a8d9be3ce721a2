"""Pages for people: the report of a study, and the audition of its best voices. Each is one file without network."""
