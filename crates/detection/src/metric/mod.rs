//! What detections are worth.
