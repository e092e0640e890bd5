"""What ``flotilla doctor`` looks at; nothing here changes anything."""
