"""The release gate: drive a build at a stated rate, measure exactly that window, give one verdict."""
