"""What a release can carry: drive it at a stated rate, measure exactly that window, give one verdict."""
