"""Lightning callbacks under the names of the field, one file each."""
