use crate::desk::Desk;

pub(crate) fn router(desk: Desk) -> axum::Router {
    axum::Router::new().with_state(desk)
}
