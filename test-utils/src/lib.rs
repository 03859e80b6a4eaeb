//! What the tests of ctrs share.
