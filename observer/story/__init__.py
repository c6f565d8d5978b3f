"""Events told in the book's words: steps, rings, sentences, folded rows, totals. Pure: values in, values out."""
