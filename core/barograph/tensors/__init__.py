"""What is known of a tensor after one look: exact moments and counts, and a histogram. Knows no training framework."""
