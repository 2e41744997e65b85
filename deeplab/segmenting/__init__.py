"""One object that segments images, whatever the network is stored as: `deeplab.Segmenter`."""
