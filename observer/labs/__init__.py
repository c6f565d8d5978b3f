"""Lab assignments: a question about a real program, predicted, observed, explained and graded by facts about events."""
