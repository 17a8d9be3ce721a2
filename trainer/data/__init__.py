"""From a corpus to padded batches: lists, features, batches; and an embedded corpus that needs no recordings."""
