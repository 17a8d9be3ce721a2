"""The SQL store of studies: opened, waited for, its trials taken and ended, what people ask of a study."""
