"""A trained model as a file with named state in and out, its codecs inside, and the proof that it says the same."""
