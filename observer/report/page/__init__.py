"""A recorded run as one self-contained HTML page: its data by columns, its words, its template."""
