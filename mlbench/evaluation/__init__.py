"""What measurements are worth: statistics, differences, verdicts and budgets."""
