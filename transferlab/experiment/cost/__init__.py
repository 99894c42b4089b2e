"""What a plan costs before it starts: time, memory, disk."""
