"""What brings a finished run, a data set and the Space to the Hub."""
