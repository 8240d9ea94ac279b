"""Files that hold pages: images, PDFs, DICOM objects, archives. In: files. Out: pages as stored."""
