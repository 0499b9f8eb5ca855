//! Operators of Tidegate (being written).
