"""The command line: one file a verb, each a thin coat over one Python function. Nothing heavy at the top of a file."""
