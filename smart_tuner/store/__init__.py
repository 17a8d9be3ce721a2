"""The SQL store of studies: how it is opened and retried, the steps of a trial, what people request of a study."""
