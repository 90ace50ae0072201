"""Many photos: which, to where, several at a time, on one machine or many."""
