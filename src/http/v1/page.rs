//! Pages of a list, and the cursor that leads from one to the next.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Query;
use crate::domain::text::Invalid;

/// Some items of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageDto<T> {
    pub(super) items: Vec<T>,
    /// How many there are in all, when that was counted: of a large selection it is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<i64>,
    /// The number of this page, from 1.
    pub(super) page: i64,
    /// The bound of this page.
    pub(super) page_size: u32,
    /// What to send as `after` for the next page; null on the last one.
    pub(super) next: Option<String>,
}

/// Where a page begins: its number, and the key of the last item before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    page: i64,
    key: (i64, i64),
}

/// What is asked for of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) limit: u32,
    after: Option<Cursor>,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(
                "must be the `next` of an earlier page",
                "debe ser el `next` de una página anterior",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let text = str::from_utf8(&bytes).map_err(|_| wrong())?;
        let parts: Result<Vec<i64>, _> = text.split(':').map(str::parse).collect();
        match parts.as_deref() {
            Ok([page, first, second]) if *page > 0 => Ok(Self {
                page: *page,
                key: (*first, *second),
            }),
            _ => Err(wrong()),
        }
    }

    fn show(self) -> String {
        let (first, second) = self.key;
        URL_SAFE_NO_PAD.encode(format!("{}:{first}:{second}", self.page))
    }
}

impl Wanted {
    /// Reads `limit` and `after`. The bounds are the usual page and the largest.
    pub(super) fn read(query: &mut Query, (usual, most): (u32, u32)) -> Self {
        let limit = query.0.fields.optional_integer("limit");
        let limit = limit.map(|limit| u32::try_from(limit).ok().filter(|n| (1..=most).contains(n)));
        if limit == Some(None) {
            let wrong = Invalid::new(
                format!("must be from 1 to {most}"),
                format!("debe estar entre 1 y {most}"),
            );
            query.0.fields.invalid("limit", &wrong);
        }
        Self {
            limit: limit.flatten().unwrap_or(usual),
            after: query.0.fields.optional_parse("after", Cursor::parse),
        }
    }

    /// The key that the page begins after.
    pub(super) fn after(&self) -> Option<(i64, i64)> {
        self.after.map(|cursor| cursor.key)
    }

    /// The page with these items. `next` is the key that the next one begins after.
    pub(super) fn page<T>(
        &self,
        items: Vec<T>,
        total: Option<i64>,
        next: Option<(i64, i64)>,
    ) -> PageDto<T> {
        let page = self.after.map_or(1, |cursor| cursor.page);
        let next = next.map(|key| Cursor {
            page: page.saturating_add(1),
            key,
        });
        PageDto {
            items,
            total,
            page,
            page_size: self.limit,
            next: next.map(Cursor::show),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        for key in [(0, 0), (-5, 7), (i64::MIN, i64::MAX)] {
            let cursor = Cursor { page: 3, key };
            assert_eq!(Cursor::parse(&cursor.show()), Ok(cursor));
        }
        for bad in [
            "",
            "x",
            "!",
            "MTox",
            &URL_SAFE_NO_PAD.encode("0:1:2"),
            &URL_SAFE_NO_PAD.encode("1:2:3:4"),
        ] {
            assert!(Cursor::parse(bad).is_err(), "{bad}");
        }
    }
}
