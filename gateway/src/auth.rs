//! Who may look at pages and call APIs: users, sessions and API keys.
