//! The faces: each existing API's dialect in a folder of its own. Here they are only mounted.

pub(crate) mod gr4vy;
pub(crate) mod loop_payments;
pub(crate) mod medusa_v1;
pub(crate) mod medusa_v2;
pub(crate) mod mpg;
pub(crate) mod native;
