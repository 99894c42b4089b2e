"""One file a command: from the words of a command line to a call, and to what is printed."""
