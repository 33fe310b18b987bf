"""What surrounded a training: code, packages, arguments, machine; and how values become text that is safe to keep."""
