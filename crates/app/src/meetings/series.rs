//! Series: meetings that belong together.

use meetmind_core::{Ctx, Error, Page, PageQuery, Result, Scope, Series, SeriesId, user_may};
use meetmind_store::Conn;

use super::crud::{cursor_id, cursor_of};
use crate::{App, valid};

impl App {
    /// Makes a series of the caller.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `SCOPE_MISSING`, `VALIDATION_FAILED`.
    pub async fn series_create(&self, ctx: &Ctx, title: &str) -> Result<Series> {
        let owner_id = user_may(&ctx.actor, Scope::MeetingsWrite)?;
        let series = Series {
            id: self.id(ctx),
            owner_id,
            title: valid::line("title", title, 200)?,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        let mut change = self.change(ctx).await?;
        change.series_insert(&series).await?;
        change.commit().await?;
        Ok(series)
    }

    /// The caller's series and those of meetings the caller is in, newest first.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `SCOPE_MISSING`, `INVALID_CURSOR`.
    pub async fn series_list(&self, ctx: &Ctx, page: &PageQuery) -> Result<Page<Series>> {
        let user_id = user_may(&ctx.actor, Scope::MeetingsRead)?;
        let before = cursor_id(page)?;
        let mut conn = self.store().read().await?;
        let rows = conn.series_list(user_id, before, page.limit + 1).await?;
        Ok(Page::from_rows(rows, page.limit, |row| cursor_of(row.id)))
    }

    /// One series that the caller can see.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `SCOPE_MISSING`, `NOT_FOUND`.
    pub async fn series_get(&self, ctx: &Ctx, id: SeriesId) -> Result<Series> {
        let mut conn = self.store().read().await?;
        series_visible(&mut conn, ctx, id, Scope::MeetingsRead).await
    }

    /// Renames a series of the caller.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for who only takes part in it, `VALIDATION_FAILED`.
    pub async fn series_update(
        &self,
        ctx: &Ctx,
        id: SeriesId,
        title: Option<&str>,
    ) -> Result<Series> {
        let mut change = self.change(ctx).await?;
        let series = series_own(&mut change, ctx, id).await?;
        let Some(title) = title else {
            return Ok(series);
        };
        let series = Series {
            title: valid::line("title", title, 200)?,
            updated_at: ctx.now,
            ..series
        };
        change.series_update(id, &series.title, ctx.now).await?;
        change.commit().await?;
        Ok(series)
    }

    /// Deletes a series of the caller; its meetings stay, without one. Gives it as it was.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for who only takes part in it.
    pub async fn series_delete(&self, ctx: &Ctx, id: SeriesId) -> Result<Series> {
        let mut change = self.change(ctx).await?;
        let series = series_own(&mut change, ctx, id).await?;
        change.series_delete(id).await?;
        change.commit().await?;
        Ok(series)
    }
}

async fn series_visible(conn: &mut Conn, ctx: &Ctx, id: SeriesId, scope: Scope) -> Result<Series> {
    let user_id = user_may(&ctx.actor, scope)?;
    if !conn.series_is_visible(id, user_id).await? {
        return Err(Error::not_found("series"));
    }
    Ok(conn.series_get(id).await?)
}

async fn series_own(conn: &mut Conn, ctx: &Ctx, id: SeriesId) -> Result<Series> {
    let series = series_visible(conn, ctx, id, Scope::MeetingsWrite).await?;
    if ctx.actor.user_id() != Some(series.owner_id) {
        return Err(Error::forbidden("only who made the series may change it"));
    }
    Ok(series)
}
