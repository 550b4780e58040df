"""From a recipe to a smaller file: plan, estimate, apply."""
