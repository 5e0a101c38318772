"""What layers disagree on, and what nobody owns."""
