"""One module for each kind of annotation file that is read; `registry` lists them."""
