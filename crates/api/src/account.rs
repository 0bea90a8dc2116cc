use hyper::StatusCode;

use crate::answer;
use crate::call::Call;
use crate::routes::Answered;
use crate::wire::account::Settings;

pub(crate) async fn get_settings(call: Call) -> Answered {
    let settings = call.shared.control.get_account_settings(&call.scope);
    answer::json(StatusCode::OK, &Settings::of(&settings))
}
