"""Before and after, to look at: where to look, one picture, a page of many, and a word where there is little to see."""
