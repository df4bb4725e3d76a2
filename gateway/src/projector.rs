//! Folds the journal into milestones.
