"""From a corpus's name to padded batches: corpus, features, batches; and a corpus that needs no recordings."""
