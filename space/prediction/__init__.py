"""The command line around the facial-emotion pipeline: photos, folders, videos and webcams."""
