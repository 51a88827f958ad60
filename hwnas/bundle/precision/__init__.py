"""The precisions of a bundle: their conversion, what each loses, and how fast each is."""
