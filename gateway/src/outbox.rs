//! Effects owed to others, settled one by one.
