"""Objects from a user's points, boxes and masks."""
