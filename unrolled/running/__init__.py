"""Running a model that is trained: streams, sampling, generation."""
