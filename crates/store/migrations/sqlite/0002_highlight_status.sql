-- What a person said about a highlight. A note that somebody pinned had a score of 2 until now.
ALTER TABLE highlights ADD COLUMN status TEXT NOT NULL DEFAULT 'proposed'
    CONSTRAINT highlights_status_known CHECK (status IN ('proposed', 'confirmed', 'dismissed'));
UPDATE highlights SET status = 'confirmed' WHERE score >= 2;
