"""One file a benchmark: two things or more, measured in turn, and what they are held against."""
