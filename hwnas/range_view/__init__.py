"""Range images: one pipeline that training, evaluation, deployment and the compiled kernel share."""
